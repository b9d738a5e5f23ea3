"""What the processor and the gateway must agree on: the messages, the settings both read, the log format, the traces.

A thing belongs here only if the two programs would misunderstand each other on the wire, or an operator would have to
read two dialects, without it. No input or output happens here, but for what `traces` sends once it is turned on.
"""
