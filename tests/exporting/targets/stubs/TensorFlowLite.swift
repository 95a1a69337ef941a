// What the Swift example uses of TensorFlowLiteSwift, as declarations alone: enough to check its types.

import Foundation

public struct Tensor {
    public let data: Data
}

public final class Interpreter {
    public struct Options {
        public var threadCount: Int?
        public var isXNNPackEnabled = false

        public init() {}
    }

    public init(modelPath: String, options: Options? = nil) throws {
        throw CocoaError(.featureUnsupported)
    }

    public func allocateTensors() throws {}

    @discardableResult
    public func copy(_ data: Data, toInputAt index: Int) throws -> Tensor {
        Tensor(data: data)
    }

    public func invoke() throws {}

    public func output(at index: Int) throws -> Tensor {
        Tensor(data: Data())
    }
}
