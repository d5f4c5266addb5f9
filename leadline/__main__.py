"""`python -m leadline`: the command line."""

from leadline.cli.main import main

main()
