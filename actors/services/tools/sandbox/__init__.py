"""Where programs of tools run: bubblewrap, or Landlock with seccomp, or no sandbox at all, and honest about which."""
