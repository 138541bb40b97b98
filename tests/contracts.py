"""The checker behind every annotation while tests run: where a float is asked for, a whole number will do."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
