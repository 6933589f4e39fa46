"""`python -m segcourse.cli`: the `segcourse` command."""

from segcourse.cli import main

if __name__ == "__main__":
    main()
