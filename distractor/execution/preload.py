"""Imports what a unit needs. The server that starts processes imports it once, and they share its memory."""

import gc

from distractor.models.load import import_transformers

import_transformers()

import pandas  # noqa: E402, F401
import pyarrow.parquet  # noqa: E402, F401
import scipy.stats  # noqa: E402, F401
import transformers.models.gpt_neox.modeling_gpt_neox  # noqa: E402, F401
import transformers.models.llama.modeling_llama  # noqa: E402, F401
import xarray  # noqa: E402, F401

import distractor.probing.measure  # noqa: E402, F401
import distractor.scoring.encode  # noqa: E402, F401
import distractor.scoring.score  # noqa: E402, F401

gc.freeze()  # processes need not search what was imported for garbage, which would also copy it into each of them
