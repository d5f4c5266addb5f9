"""What operators see and decide, whoever asks for them: the command line or the console."""
