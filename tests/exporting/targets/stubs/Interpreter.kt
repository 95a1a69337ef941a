package org.tensorflow.lite

import java.nio.ByteBuffer

class Interpreter(model: ByteBuffer, options: Options) : AutoCloseable {
    class Options {
        fun setNumThreads(count: Int): Options = throw UnsupportedOperationException("$count")
    }

    fun run(input: Any, output: Any): Unit = throw UnsupportedOperationException("$input $output")

    override fun close() = Unit
}
