"""What TensorBoard's HParams tab reads, in the run's own event file: its settings, and how it ended.

Nothing declares the columns: without such a summary the tab shows the union of all runs' settings and scalars, and
with one it shows those of whichever run it finds first.
"""

from collections.abc import Mapping

from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from nnlab.logger.hyperparameters import Scalar

# From tensorboard.plugins.hparams.metadata, whose import costs 0.2 s.
PLUGIN = "hparams"
START_TAG = "_hparams_/session_start_info"
END_TAG = "_hparams_/session_end_info"

#: a run that can be resumed has no ending yet: TensorBoard keeps the first that it reads
_STATUS = {
    "completed": STATUS_SUCCESS,
    "early_stopped": STATUS_SUCCESS,
    "diverged": STATUS_FAILURE,
    "failed": STATUS_FAILURE,
}


def session_start(settings: Mapping[str, Scalar], time_s: float) -> Summary.Value:
    """The settings of a run.

    Args:
        settings: by dotted key.
        time_s: when it began, as time.time() gives it.
    """
    info = SessionStartInfo(start_time_secs=time_s)
    for key, value in settings.items():
        if isinstance(value, bool):
            info.hparams[key].bool_value = value
        elif isinstance(value, str):
            info.hparams[key].string_value = value
        else:
            info.hparams[key].number_value = value
    return _value(START_TAG, HParamsPluginData(session_start_info=info))


def session_end(status: str, time_s: float) -> Summary.Value | None:
    """How a run ended; None where it goes on.

    Args:
        status: as in ``result.json``.
        time_s: when, as time.time() gives it.
    """
    if status not in _STATUS:
        return None
    info = SessionEndInfo(status=_STATUS[status], end_time_secs=time_s)
    return _value(END_TAG, HParamsPluginData(session_end_info=info))


def _value(tag: str, content: HParamsPluginData) -> Summary.Value:
    plugin = SummaryMetadata.PluginData(plugin_name=PLUGIN, content=content.SerializeToString())
    nothing = TensorProto(dtype=DT_FLOAT, tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=0)]))
    return Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin), tensor=nothing)
