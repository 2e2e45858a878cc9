"""What one trial of the torture run found."""

from __future__ import annotations

from dataclasses import dataclass

HEADER = '| section | what | tried | survived | | seconds |\n| --- | --- | --: | --: | --- | --: |'


@dataclass(frozen=True)
class Outcome:
    """One line of the report.

    Attributes:
        what: what was tried, in a few words.
        tried: how often.
        survived: how often it ended as promised; all of ``tried`` is a pass.
        note: figures worth a look, for example a slope; one line.
    """

    what: str
    tried: int
    survived: int
    note: str = ''

    @property
    def passed(self) -> bool:
        """Whether something was tried and nothing failed."""
        return 0 < self.tried == self.survived

    def row(self, section: str, seconds: float) -> str:
        """The line, in Markdown; a failed trial stands out."""
        survived = f'{self.survived:,}' if self.passed else f'**{self.survived:,}**'
        return f'| {section} | {self.what} | {self.tried:,} | {survived} | {self.note} | {seconds:.0f} |'
