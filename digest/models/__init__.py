"""Papers, harvests, digests and picks, feedback, and operations."""

from digest.models.digests import NOTHING_TO_SAY, Digest, Pick
from digest.models.feedback import (
    AddedPaper,
    Feedback,
    LibraryPaper,
    LibraryUpload,
    ReaderModel,
    ZoteroLibrary,
)
from digest.models.harvests import Coverage, Harvest, Lock, Response, SourceConfig
from digest.models.indexing import ArchiveFile, FittedModel
from digest.models.operations import Alarm, DailyCount, Heartbeat
from digest.models.papers import Observation, Paper, PaperEmbedding, PaperEvent, Summary, number_of
from digest.models.sharing import Recommendation
