"""What makes a training last: files, processes, checkpoints."""
