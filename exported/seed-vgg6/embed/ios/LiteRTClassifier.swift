// By LiteRT. Podfile: pod 'TensorFlowLiteSwift', '~> 2.17'

import Foundation
import TensorFlowLite

/// Not safe for use by several threads at once.
public final class LiteRTClassifier: Classifying {
    public let tolerance: Float = 0.0078125
    public let expectedFile = "golden/expected.tflite.bin"
    private let interpreter: Interpreter

    public init() throws {
        var options = Interpreter.Options()
        options.threadCount = 1
        options.isXNNPackEnabled = true
        interpreter = try Interpreter(modelPath: Model.path("model.int8.tflite"), options: options)
        try interpreter.allocateTensors()
    }

    public func classify(image: [UInt8]) throws -> [Float] {
        guard image.count == Model.imageBytes else { throw ClassifierError.wrongSize(image.count) }
        try interpreter.copy(preprocess(image), toInputAt: 0)
        try interpreter.invoke()
        return probabilities(try interpreter.output(at: 0).data)
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
