"""What the command-line tools share: configs, arguments, errors, batches."""
