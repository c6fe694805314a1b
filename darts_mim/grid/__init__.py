"""What a gridded series is: its dims, its times, its whole windows, and what is done to it first."""
