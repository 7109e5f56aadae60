"""What is on this machine and on its servers that freshpg, or the process that uses it, may have left behind."""
