"""Reference implementations for benchmarks, not used by the package itself."""
