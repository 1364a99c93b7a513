"""The house keeps its own rules: floors, fast imports, a README that says what is there."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_imports_go_down_the_floors() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_importing_clearmr_loads_no_torch() -> None:
    code = "import sys, clearmr, clearmr.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_readme_tree_is_the_folder_tree() -> None:
    tree = (ROOT / "README.md").read_text().split("```\nsrc/clearmr/", 1)[1].split("```")[0]
    named = set(re.findall(r"^\s+(\w+(?:\.py|/))", tree, flags=re.MULTILINE))
    there = {f"{p.name}/" if p.is_dir() else p.name for p in (ROOT / "src" / "clearmr").iterdir()}
    assert named == {name for name in there if not name.startswith("_")}


def test_links_of_the_documents_lead_somewhere() -> None:
    for document in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("src/**/*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_torch_pin_lies_in_the_range() -> None:
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text()
    assert re.search(r'"torch>=2\.\d+"', (ROOT / "pyproject.toml").read_text())
