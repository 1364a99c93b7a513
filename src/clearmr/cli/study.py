"""`clearmr study`: make a blinded reader study, and analyse what the readers scored."""

import typer

from clearmr.cli import study_analyse, study_make

EXAMPLES = {"make": study_make.EXAMPLE, "analyse": study_analyse.EXAMPLE}

app = typer.Typer(help="Reader studies: a blinded page on which radiologists score images, and its analysis.")
app.command(name="make", epilog=f"Example: [b]{EXAMPLES['make']}[/b]")(study_make.run)
app.command(name="analyse", epilog=f"Example: [b]{EXAMPLES['analyse']}[/b]")(study_analyse.run)
