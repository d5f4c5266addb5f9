"""`python -m leadline`: the command line."""

from leadline.operate.cli import main

main()
