"""The rows, in the order of the table."""

from rows import files, tls, forms, memory, crowds, counts, mipsel  # noqa: F401
