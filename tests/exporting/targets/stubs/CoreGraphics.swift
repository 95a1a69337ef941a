// What the Swift example uses of Core Graphics, as declarations alone: enough to check its types.

import Foundation

public final class CGImage {
    public let width: Int
    public let height: Int

    public init(width: Int, height: Int) {
        self.width = width
        self.height = height
    }
}

public final class CGColorSpace {
    public static let sRGB: NSString = "sRGB"

    public init?(name: NSString) {
        return nil
    }
}

public enum CGImageAlphaInfo: UInt32 {
    case premultipliedLast = 1
}

public final class CGContext {
    public init?(
        data: UnsafeMutableRawPointer?, width: Int, height: Int, bitsPerComponent: Int, bytesPerRow: Int,
        space: CGColorSpace, bitmapInfo: UInt32
    ) {
        return nil
    }

    public func draw(_ image: CGImage, in rect: CGRect) {}
}
