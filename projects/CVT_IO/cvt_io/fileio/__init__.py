"""Reading and writing files, including untrusted ones."""
