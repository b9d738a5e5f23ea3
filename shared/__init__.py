"""What the processor and the gateway must agree on: messages, settings, logs, traces, the manners of a command line.

A thing belongs here only if the two programs would misunderstand each other on the wire, or an operator would have to
read two dialects, without it. No input or output happens here, but for what `traces` sends once it is turned on.
"""
