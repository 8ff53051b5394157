"""Vietnamese syllables: what is one, and what other languages and wrong readings look like."""

import unicodedata

import pytest

from pacs_gateway.domain.syllables import is_syllable

_SYLLABLES = """
    nguyễn trần quyết khuỷu giếng gì già giường quý qúy hòa hoà thúy thuý khuya nghiêng yến yểu ướt ưởng ửng oanh xoẹt
    đặng đức phượng khoẻ loạng ngoằn ngoèo tuệch khuếch uống ý ạ ả boong Đỗ ĐỖ Ánh ẤN Nguyen THI van quang
"""
# Two tones, a stop without its tone, a tone over the wrong vowel, no rime or beginning of ours, letters of others.
_OTHERS = """
    tầń quôc hôì iém phuòng ăo ôu müller josé søren joão ðào zoé wăn jôn fa łan nguyÔn TrầN đ b BVĐK h̃ scanner
"""


@pytest.mark.parametrize("word", _SYLLABLES.split())
def test_vietnamese_syllables_are_known(word: str) -> None:
    assert is_syllable(unicodedata.normalize("NFC", word))


@pytest.mark.parametrize("word", _OTHERS.split())
def test_other_words_are_not(word: str) -> None:
    assert not is_syllable(unicodedata.normalize("NFC", word))
