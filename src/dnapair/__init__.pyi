from dnapair.api import Explanation as Explanation
from dnapair.api import Model as Model
from dnapair.api import embed as embed
from dnapair.api import load_model as load_model
from dnapair.api import read_pairs as read_pairs
from dnapair.errors import DnapairError as DnapairError

__version__: str
__all__: list[str]
