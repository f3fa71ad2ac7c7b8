"""Converts language codes: BCP 47 tags (pt-BR, zh-Hant) and the three-letter codes that containers store."""

from __future__ import annotations

import re

_TWO_TO_THREE = """
ababk aaaar afafr akaka sqalb amamh arara anarg hyarm asasm avava aeave ayaym azaze bmbam babak eubaq
bebel bnben bhbih bibis bsbos brbre bgbul mybur cacat chcha ceche zhchi cuchu cvchv kwcor cocos crcre
hrhrv cscze dadan dvdiv nldut dzdzo eneng eoepo etest eeewe fofao fjfij fifin frfre ffful glglg lglug
kageo deger elgre gngrn guguj hthat hahau heheb hzher hihin hohmo huhun isice ioido igibo idind iaina
ieile iuiku ikipk gagle itita jajpn jvjav klkal knkan krkau kskas kkkaz kmkhm kikik rwkin kykir kvkom
kgkon kokor kjkua kukur lolao lalat lvlav lilim lnlin ltlit lulub lbltz mkmac mgmlg msmay mlmal mtmlt
gvglv mimao mrmar mhmah mnmon nanau nvnav ngndo nenep ndnde sesme nbnob nnnno nonor nynya ococi ojoji
orori omorm ososs pipli papan faper plpol ptpor pspus quque rmroh rnrun rorum rurus smsmo sgsag sasan
scsrd gdgla srsrp snsna iiiii sdsnd sisin skslo slslv sosom nrnbl stsot esspa susun swswa ssssw svswe
tltgl tytah tgtgk tatam tttat tetel ththa botib titir toton tstso tntsn trtur tktuk twtwi uguig ukukr
ururd uzuzb veven vivie vovol wawln cywel fyfry wowol xhxho yiyid yoyor zazha zuzul
"""
_CODES = {word[:2]: word[2:] for word in _TWO_TO_THREE.split()}
"""ISO 639-1 to ISO 639-2/B."""
_PAIRS = """
alb:sqi arm:hye baq:eus bur:mya chi:zho cze:ces dut:nld fre:fra geo:kat ger:deu gre:ell ice:isl mac:mkd
mao:mri may:msa per:fas rum:ron slo:slk tib:bod wel:cym
"""
_TERMINOLOGY = {pair[:3]: pair[4:] for pair in _PAIRS.split()}
"""Maps ISO 639-2/B to ISO 639-2/T where they differ: Matroska stores the first, MP4 the second."""
_BIBLIOGRAPHIC = {after: before for before, after in _TERMINOLOGY.items()}
_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")


def tag_of(text: str) -> str:
    """Return the BCP 47 tag in a container's text; empty if there is none.

    Of several tags, which broadcasts give to two channels of speech, the first is returned.

    >>> tag_of("es"), tag_of("por"), tag_of("pt_BR"), tag_of("eng,fra"), tag_of("Klingon")
    ('es', 'por', 'pt-BR', 'eng', '')
    """
    tag = text.partition(",")[0].strip("\0 ").replace("_", "-")
    return tag if _TAG.fullmatch(tag) else ""


def three_letters(tag: str, *, terminology: bool = False) -> str:
    """Return the ISO 639-2 code of a tag's language; "und" if it has none.

    Args:
        tag: A BCP 47 tag.
        terminology: Return the code derived from the language's own name ("fra", not "fre") if the tag has
            two letters. Codes of three letters are returned unchanged.

    >>> three_letters("pt-BR"), three_letters("zh-Hant"), three_letters("zh-Hant", terminology=True)
    ('por', 'chi', 'zho')
    """
    primary = tag.partition("-")[0].lower()
    if len(primary) == 3:
        return primary
    code = _CODES.get(primary, "und")
    return _TERMINOLOGY.get(code, code) if terminology else code


def says_more(tag: str) -> bool:
    """Return whether a tag has information that three letters cannot express.

    >>> says_more("pt-BR"), says_more("es"), says_more("spa")
    (True, False, False)
    """
    return "-" in tag or (len(tag) == 2 and three_letters(tag) == "und")


def same_language(first: str, second: str) -> bool:
    """Return whether two tags mean the same language, script and region.

    >>> same_language("es", "spa"), same_language("fre", "fra"), same_language("pt-BR", "por")
    (True, True, False)
    """
    return _canonical(first) == _canonical(second)


def _canonical(tag: str) -> str:
    primary, *rest = tag.lower().split("-")
    code = _CODES.get(primary, primary)
    return "-".join([_BIBLIOGRAPHIC.get(code, code), *rest])
