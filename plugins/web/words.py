"""What the page says, in English and Korean. What the gateway itself says of a fault is English in both."""

WORDS: dict[str, tuple[str, str]] = {
    "all is well": ("All is well", "모두 정상입니다"),
    "to look at": ("{} to look at", "확인할 항목 {}건"),
    "serious": ("serious", "심각"),
    "what is wrong": ("What is not as it should be", "문제 항목"),
    "is data leaving": ("Is data leaving?", "데이터 전송 상태"),
    "destination": ("Destination", "전송 대상"),
    "state": ("State", "상태"),
    "last acknowledged": ("Last acknowledged", "마지막 수신 확인"),
    "ago": ("{} ago", "{} 전"),
    "never": ("never", "없음"),
    "waiting": ("Waiting", "대기 중"),
    "outbox": ("Outbox", "저장소"),
    "used of": ("{} of {} used", "{} / {} 사용"),
    "full in": ("full in {} if nothing leaves", "전송되지 않으면 {} 후 가득 참"),
    "full": ("full: the oldest is given up", "가득 참: 가장 오래된 데이터부터 삭제됨"),
    "no forecast": ("how long it lasts is known after a minute", "소진 예상은 1분 후 표시됩니다"),
    "history complete in": ("history complete in {}", "이력 전송 완료까지 {}"),
    "devices": ("Devices", "장치"),
    "device": ("Device", "장치"),
    "since": ("Since", "지속 시간"),
    "good tags": ("Good tags", "정상 태그"),
    "reason": ("Reason", "원인"),
    "next attempt": ("next attempt in {}", "{} 후 재시도"),
    "tags": ("Tags", "태그"),
    "tag": ("Tag", "태그"),
    "value": ("Value", "값"),
    "quality": ("Quality", "품질"),
    "age": ("Age", "경과"),
    "search": ("Search", "검색"),
    "search hint": ("part of a device's or tag's name", "장치 또는 태그 이름의 일부"),
    "shown of": ("{} of {} shown", "{} / {} 표시"),
    "next page": ("Next page", "다음 페이지"),
    "alarms": ("Alarms", "알람"),
    "no alarms": ("No alarms", "알람 없음"),
    "nothing found": ("Nothing found", "검색 결과 없음"),
    "acknowledge": ("Acknowledge", "확인"),
    "comment": ("Comment", "설명"),
    "shelve": ("Shelve", "보류"),
    "minutes": ("minutes", "분"),
    "shelved by": ("shelved by {}: {}", "{} 보류: {}"),
    "acknowledged by": ("acknowledged by {}", "{} 확인"),
    "log in to act": (
        "Log in as an operator to acknowledge or shelve.",
        "확인 또는 보류하려면 운전원으로 로그인하십시오.",
    ),
    "log in": ("Log in", "로그인"),
    "log out": ("Log out", "로그아웃"),
    "name": ("Name", "이름"),
    "password": ("Password", "비밀번호"),
    "no users": (
        "Nobody can log in yet: edge-gateway user add NAME --role operator",
        "등록된 사용자가 없습니다: edge-gateway user add NAME --role operator",
    ),
    "not live": ("Not live: no answer since {}", "실시간 아님: {}부터 응답 없음"),
    "running": ("running for {}", "가동 {}"),
    "clock": ("clock {}", "시계 {}"),
    "other language": ("한국어", "English"),
    "to the top": ("To the page", "페이지로"),
    "up": ("up", "정상"),
    "down": ("down", "연결 끊김"),
    "faulted": ("faulted", "고장"),
    "starting": ("starting", "시작 중"),
    "stopped": ("stopped", "정지"),
    "raised": ("raised", "발생"),
    "latched": ("latched", "래치"),
    "cleared": ("cleared, waits", "해제, 확인 대기"),
    "normal": ("normal", "정상"),
    "acknowledged": ("acknowledged", "확인됨"),
}
"""Each with the English and the Korean text."""

LANGUAGES = ("en", "ko")


class Words:
    """Those of a language."""

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else "en"
        self._at = LANGUAGES.index(self.language)

    def __call__(self, key: str, *values: object) -> str:
        """The text; raises KeyError for one that there is not."""
        return WORDS[key][self._at].format(*values)

    def state(self, state: str) -> str:
        """A state in words; one that this page does not know, as it is."""
        return self(state) if state in WORDS else state


def language_of(accepted: str) -> str:
    """The first language of Accept-Language (RFC 9110) that the page has; no weights, since browsers send the best first."""
    for each in accepted.lower().split(",")[:20]:
        if (code := each.strip()[:2]) in LANGUAGES:
            return code
    return "en"
