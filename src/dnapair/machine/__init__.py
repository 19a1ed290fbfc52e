"""What this machine can do, and how its memory is used."""
