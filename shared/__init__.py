"""What the processor and the gateway must agree on: the messages, the settings both read, the log format,
the manners of a command line.

A thing belongs here only if the two programs would misunderstand each other on the wire, or an operator would have to
read two dialects, without it. Nothing is opened here.
"""
