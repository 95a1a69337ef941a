// By ONNX Runtime. Podfile: pod 'onnxruntime-objc', '~> 1.22'

import Foundation
import onnxruntime_objc

/// Not safe for use by several threads at once.
public final class OnnxClassifier: Classifying {
    public let tolerance: Float = 0.0078125
    public let expectedFile = "golden/expected.onnx.bin"
    private let environment: ORTEnv
    private let session: ORTSession

    public init() throws {
        environment = try ORTEnv(loggingLevel: ORTLoggingLevel.warning)
        let options = try ORTSessionOptions()
        try options.setIntraOpNumThreads(1)
        session = try ORTSession(
            env: environment, modelPath: Model.path("model.int8.onnx"), sessionOptions: options)
    }

    public func classify(image: [UInt8]) throws -> [Float] {
        guard image.count == Model.imageBytes else { throw ClassifierError.wrongSize(image.count) }
        let shape: [NSNumber] = [1, NSNumber(value: Model.height), NSNumber(value: Model.width), 3]
        let input = try ORTValue(
            tensorData: NSMutableData(data: preprocess(image)),
            elementType: ORTTensorElementDataType.uInt8,
            shape: shape)
        let name = "probabilities"
        let outputs = try session.run(
            withInputs: ["image": input], outputNames: [name], runOptions: nil)
        guard let output = outputs[name] else { throw ClassifierError.missing(name) }
        // The bytes belong to `output`, which has to outlive them.
        return try withExtendedLifetime(output) { probabilities(try output.tensorData() as Data) }
    }

    /// The model's input for an image.
    private func preprocess(_ image: [UInt8]) -> Data {
        // The model takes the pixels as they are.
        return Data(image)
    }

    /// The model's output as one probability for each class.
    private func probabilities(_ output: Data) -> [Float] {
        return output.map { (Float($0) - (0)) * 0.00390625 }
    }
}
