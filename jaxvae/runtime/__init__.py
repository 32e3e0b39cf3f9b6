"""The machine: devices and processes, files, signals, the terminal, the software environment."""
