"""Record: the base of every object that has a JSON form."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from edgecifar.artifacts.files import write_text
from edgecifar.errors import ModelError


class Record(BaseModel):
    """An immutable object with a JSON form, closed to keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def write(self, path: Path) -> None:
        """Writes the JSON form, whole or not at all."""
        write_text(path, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Returns the object that a JSON file holds.

        Raises:
            ModelError: The file is missing, or not the JSON form of this object.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(f"{path}: cannot be read ({error.strerror}).") from error
        return cls.parse(content, str(path))

    @classmethod
    def parse(cls, content: bytes, where: str) -> Self:
        """Returns the object whose JSON form `content` is.

        Args:
            content: UTF-8.
            where: What an error names: the file.

        Raises:
            ModelError: It is not the JSON form of this object.
        """
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            reason = f"{place}: {first['msg']}" if place else first["msg"]
            raise ModelError(
                f"{where}: not a valid {cls.__name__}: {reason}.",
                "It is damaged, or another version of edgecifar wrote it: make it again.",
            ) from error


def not_newer(version: object, newest: int) -> object:
    """Returns a schema version as it was read, if it is not newer than the newest that is known.

    Raises:
        ValueError: It is.
    """
    if isinstance(version, int) and version > newest:
        raise ValueError(f"{version} is newer than {newest}, the newest that this edgecifar reads: update it")
    return version
