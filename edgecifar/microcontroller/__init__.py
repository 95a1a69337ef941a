"""Integer-only C from int8 TFLite files: read, given an engine's numerics, planned, proven and written."""
