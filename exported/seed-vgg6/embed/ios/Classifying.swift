// What no engine is needed for: the classes, the preprocessing and the self-check.

import CoreGraphics
import Foundation

/// A model in an engine: takes an image of `Model.height` x `Model.width` RGB bytes, returns its probabilities.
public protocol Classifying {
    var tolerance: Float { get }
    var expectedFile: String { get }
    func classify(image: [UInt8]) throws -> [Float]
}

public enum ClassifierError: Error {
    case missing(String)
    case wrongSize(Int)
    case selfCheck(difference: Float)
}

public enum Model {
    public static let height = 32
    public static let width = 32
    public static let imageBytes = height * width * 3
    public static let goldenImages = 16
    public static let labels = [
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ]

    /// Stretches a picture, RGBA bytes of w x h pixels, to the model's size; each pixel is the mean of its area.
    public static func shrink(_ picture: [UInt8], _ w: Int, _ h: Int) -> [UInt8] {
        var out = [UInt8]()
        out.reserveCapacity(imageBytes)
        for y in 0..<height {
            let top = y * h / height
            let bottom = max(top + 1, (y + 1) * h / height)
            for x in 0..<width {
                let left = x * w / width
                let right = max(left + 1, (x + 1) * w / width)
                let count = (bottom - top) * (right - left)
                for channel in 0..<3 {
                    var sum = 0
                    for row in top..<bottom {
                        for column in left..<right { sum += Int(picture[(row * w + column) * 4 + channel]) }
                    }
                    out.append(UInt8((sum + count / 2) / count))
                }
            }
        }
        return out
    }

    /// Returns the model's image of a picture, transparent parts on white; nil where it has no pixels.
    public static func image(of picture: CGImage) -> [UInt8]? {
        let w = picture.width, h = picture.height
        var pixels = [UInt8](repeating: 255, count: w * h * 4)
        let drawn = pixels.withUnsafeMutableBytes { bytes -> Bool in
            guard let context = CGContext(
                data: bytes.baseAddress, width: w, height: h, bitsPerComponent: 8, bytesPerRow: w * 4,
                space: CGColorSpace(name: CGColorSpace.sRGB)!,
                bitmapInfo: CGImageAlphaInfo.premultipliedLast.rawValue
            ) else { return false }
            context.draw(picture, in: CGRect(x: 0, y: 0, width: w, height: h))
            return true
        }
        return drawn ? shrink(pixels, w, h) : nil
    }

    /// Returns the place of a file of this folder, which the app has as the folder reference "classifier".
    public static func path(_ name: String) throws -> String {
        let path = (Bundle.main.resourcePath ?? "") + "/classifier/" + name
        guard FileManager.default.fileExists(atPath: path) else { throw ClassifierError.missing(path) }
        return path
    }
}

extension Classifying {
    /// Returns the largest difference in a probability on the golden images. Call it when the app starts: it
    /// throws where this device computes something else.
    public func selfCheck() throws -> Float {
        let images = [UInt8](try Data(contentsOf: URL(fileURLWithPath: Model.path("golden/images.bin"))))
        let expected = try Data(contentsOf: URL(fileURLWithPath: Model.path(expectedFile)))
        var largest: Float = 0
        for number in 0..<Model.goldenImages {
            let start = number * Model.imageBytes
            let scores = try classify(image: Array(images[start..<start + Model.imageBytes]))
            for (index, score) in scores.enumerated() {
                let place = 4 * (number * Model.labels.count + index)
                let bits = expected.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: place, as: UInt32.self) }
                let difference = abs(score - Float(bitPattern: UInt32(littleEndian: bits)))
                // Written so that a NaN fails.
                guard difference <= tolerance else { throw ClassifierError.selfCheck(difference: difference) }
                largest = max(largest, difference)
            }
        }
        return largest
    }
}
