"""Shared by the processor and the gateway: messages, topics, settings, logs, traces, command lines.

A thing belongs here only if the two programs would misunderstand each other on the wire, or an operator would have to
read two dialects, without it. No input or output happens here, but for what `traces` sends once it is turned on.
"""
