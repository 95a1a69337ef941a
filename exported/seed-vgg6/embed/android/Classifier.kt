// What the picture shows, by LiteRT. Needs in build.gradle.kts:
//
//     dependencies { implementation("com.google.ai.edge.litert:litert:1.4.0") }
//     android { androidResources { noCompress += "tflite" } }
//
// and this folder's other files in app/src/main/assets/classifier/.

package classifier

import android.content.res.AssetManager
import android.graphics.Bitmap
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs
import org.tensorflow.lite.Interpreter

/** Names what a picture shows. Not safe for use by several threads at once. */
class Classifier(private val assets: AssetManager, private val folder: String = "classifier") : AutoCloseable {
    private val interpreter = Interpreter(read(MODEL), Interpreter.Options().apply { setNumThreads(1) })
    private val input = ByteBuffer.allocateDirect(3072).order(ByteOrder.nativeOrder())
    private val output = ByteBuffer.allocateDirect(10).order(ByteOrder.nativeOrder())

    /**
     * Returns one probability for each of [LABELS].
     *
     * @param image [HEIGHT] x [WIDTH] pixels from the top, three bytes each: red, green, blue.
     */
    fun classify(image: ByteArray): FloatArray {
        require(image.size == IMAGE_BYTES) { "an image has $IMAGE_BYTES bytes, not ${image.size}" }
        input.rewind()
        // The model takes the pixels as they are.
        input.put(image)
        input.rewind()
        output.rewind()
        interpreter.run(input, output)
        output.rewind()
        return FloatArray(LABELS.size) { ((output.get().toInt() and 0xFF) - (0)) * 0.00390625f }
    }

    /** Returns one probability for each of [LABELS]; a picture of any size is stretched to the model's. */
    fun classify(bitmap: Bitmap): FloatArray {
        val colours = IntArray(bitmap.width * bitmap.height)
        bitmap.getPixels(colours, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
        return classify(shrink(colours, bitmap.width, bitmap.height))
    }

    /**
     * Returns the largest difference in a probability on the golden images. Call it when the app starts.
     *
     * @throws IllegalStateException It is larger than [TOLERANCE]: this device computes something else.
     */
    fun selfCheck(): Float {
        val images = read("golden/images.bin")
        val expected = read("golden/expected.tflite.bin")
        val image = ByteArray(IMAGE_BYTES)
        var largest = 0f
        repeat(GOLDEN_IMAGES) {
            images.get(image)
            for (score in classify(image)) {
                val difference = abs(score - expected.getFloat())
                // Written so that a NaN fails.
                check(difference <= TOLERANCE) { "self-check failed: a probability is off by $difference" }
                largest = maxOf(largest, difference)
            }
        }
        return largest
    }

    override fun close() = interpreter.close()

    private fun read(name: String): ByteBuffer {
        val content = assets.open("$folder/$name").use { it.readBytes() }
        val buffer = ByteBuffer.allocateDirect(content.size).order(ByteOrder.LITTLE_ENDIAN)
        buffer.put(content)
        buffer.rewind()
        return buffer
    }

    companion object {
        const val MODEL = "model.int8.tflite"
        const val HEIGHT = 32
        const val WIDTH = 32
        const val IMAGE_BYTES = HEIGHT * WIDTH * 3
        const val GOLDEN_IMAGES = 16

        /** Largest difference in a probability to what the export measured. */
        const val TOLERANCE = 0.0078125f
        val LABELS = listOf(
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
        )

        /** Stretches a picture of ARGB colours to the model's size; each pixel is the mean of its area. */
        fun shrink(picture: IntArray, w: Int, h: Int): ByteArray {
            val out = ByteArray(IMAGE_BYTES)
            var place = 0
            for (y in 0 until HEIGHT) {
                val top = (y.toLong() * h / HEIGHT).toInt()
                val bottom = maxOf(top + 1, ((y + 1L) * h / HEIGHT).toInt())
                for (x in 0 until WIDTH) {
                    val left = (x.toLong() * w / WIDTH).toInt()
                    val right = maxOf(left + 1, ((x + 1L) * w / WIDTH).toInt())
                    val count = (bottom - top).toLong() * (right - left)
                    for (shift in intArrayOf(16, 8, 0)) {
                        var sum = 0L
                        for (row in top until bottom) {
                            for (column in left until right) sum += (picture[row * w + column] shr shift) and 0xFF
                        }
                        out[place++] = ((sum + count / 2) / count).toByte()
                    }
                }
            }
            return out
        }
    }
}
