// What the Swift example uses of ONNX Runtime's Objective-C API, as Swift sees it, as declarations alone: enough to
// check its types.

import Foundation

public enum ORTLoggingLevel {
    case warning
}

public enum ORTTensorElementDataType {
    case float, int8, uInt8
}

public final class ORTEnv {
    public init(loggingLevel: ORTLoggingLevel) throws {
        throw CocoaError(.featureUnsupported)
    }
}

public final class ORTSessionOptions {
    public init() throws {
        throw CocoaError(.featureUnsupported)
    }

    public func setIntraOpNumThreads(_ intraOpNumThreads: Int32) throws {}
}

public final class ORTRunOptions {}

public final class ORTValue {
    private let content: NSMutableData

    public init(tensorData: NSMutableData, elementType: ORTTensorElementDataType, shape: [NSNumber]) throws {
        content = tensorData
    }

    public func tensorData() throws -> NSMutableData {
        content
    }
}

public final class ORTSession {
    public init(env: ORTEnv, modelPath: String, sessionOptions: ORTSessionOptions?) throws {
        throw CocoaError(.featureUnsupported)
    }

    public func run(
        withInputs inputs: [String: ORTValue], outputNames: Set<String>, runOptions: ORTRunOptions?
    ) throws -> [String: ORTValue] {
        inputs
    }
}
