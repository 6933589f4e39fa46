"""Is the machine ready?"""

import typer


def doctor() -> None:
    """Is this machine ready? Prints OK or FAIL with the fix.

    Example: segcourse doctor
    """
    from segcourse import doctor

    raise typer.Exit(doctor.main())
