// What the Kotlin example uses of Android and LiteRT, as declarations alone: enough to check its types.

package android.content.res

import java.io.InputStream

class AssetManager {
    fun open(fileName: String): InputStream = throw UnsupportedOperationException(fileName)
}
