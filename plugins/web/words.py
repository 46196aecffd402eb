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
    "overview": ("Overview", "개요"),
    "pages": ("Pages", "페이지"),
    "skip": ("To the content", "본문으로 건너뛰기"),
    "alarm": ("Alarm", "알람"),
    "15m": ("15 min", "15분"),
    "1h": ("1 h", "1시간"),
    "8h": ("8 h", "8시간"),
    "1d": ("1 day", "1일"),
    "7d": ("7 days", "7일"),
    "30d": ("30 days", "30일"),
    "span": ("Span of time", "조회 기간"),
    "earlier": ("earlier", "이전"),
    "later": ("later", "이후"),
    "trend": ("Trend", "추세"),
    "show trend": ("Show the trend", "추세 보기"),
    "show": ("Show", "표시"),
    "whole span": ("Whole span", "전체 기간"),
    "nothing kept": (
        "Nothing of this time is kept: what was delivered goes, unless [outbox] keep says how long it stays.",
        "이 기간에 보관된 데이터가 없습니다. 전송된 데이터는 [outbox] keep 에 정한 기간만 보관됩니다.",
    ),
    "readings in it": ("{} readings", "측정값 {}개"),
    "thinned": (
        "of each part of the span the least and the greatest are drawn",
        "구간별 최솟값과 최댓값만 표시됩니다",
    ),
    "now": ("Now", "현재값"),
    "events": ("Events", "이벤트"),
    "no events": ("No events in this time.", "이 기간에 이벤트가 없습니다."),
    "no device": ('There is no device "{}".', '장치 "{}"이(가) 없습니다.'),
    "driver": ("Driver", "드라이버"),
    "polls": ("Polls", "폴링"),
    "polls of": ("{}, {} left out, {} failed", "{}회, 생략 {}회, 실패 {}회"),
    "doubt": ("Doubt", "의심"),
    "its clock": ("Its clock", "장치 시계"),
    "process": ("Process", "프로세스"),
    "receipts": ("Receipts", "데이터 증빙"),
    "receipts of": ("Did we lose anything on {}?", "{}에 유실된 데이터가 있습니까?"),
    "day": ("Day", "날짜"),
    "day before": ("day before", "전날"),
    "day after": ("day after", "다음날"),
    "all devices": ("all devices", "모든 장치"),
    "no receipts": (
        "Nobody knows: there are no receipts of that day. The first come after the first full hour.",
        "알 수 없음: 이 날짜의 데이터 증빙이 없습니다. 첫 증명은 첫 정시 이후에 발행됩니다.",
    ),
    "lost": ("{} readings are lost", "측정값 {}개가 유실되었습니다"),
    "not all known": (
        "Not all of the day is known of {}: see the last column",
        "{}: 하루 전체를 확인할 수 없습니다 (마지막 열 참조)",
    ),
    "still waits": ("{} readings still wait to be delivered", "측정값 {}개가 전송 대기 중입니다"),
    "nothing lost": (
        "Nothing of what was accepted is lost, and all of it is delivered",
        "수집된 데이터는 유실 없이 모두 전송되었습니다",
    ),
    "gaps are": (
        "What was not read, since a device or the gateway was away, is listed below: no receipt can bring it back.",
        "장치나 게이트웨이가 중단되어 읽지 못한 구간은 아래에 표시됩니다. 이 구간은 복구할 수 없습니다.",
    ),
    "accepted": ("Accepted", "수집"),
    "delivered": ("Delivered", "전송 완료"),
    "lost ones": ("Lost", "유실"),
    "not read": ("Not read", "읽지 못한 구간"),
    "not known": ("Not known", "확인 불가"),
    "not accepted": ("{} not accepted", "수집되지 않음 {}개"),
    "from": ("From", "시작"),
    "to": ("To", "끝"),
    "lasted": ("Lasted", "지속"),
    "lasts on": ("lasts on", "계속됨"),
    "read": ("Read", "읽음"),
    "hours": ("Hour by hour", "시간별"),
    "hour open": ("the hour is not over", "진행 중인 시간"),
    "final": ("final", "최종"),
    "not final": ("not final: something is pending", "미확정: 대기 중인 항목 있음"),
    "interrupted": (
        "cut short by a kill or a power cut; how much was read is not known",
        "강제 종료 또는 정전으로 중단됨. 읽은 양을 알 수 없음",
    ),
    "incomplete": ("not all records could be read again", "일부 레코드를 다시 읽지 못함"),
    "how to check": ("How to check it", "검증 방법"),
    "check here": (
        "On the gateway, from the log itself, as far as it is kept:",
        "게이트웨이에서 보관된 로그로 직접 검증:",
    ),
    "check there": (
        "At the far side, from the messages alone: each receipt carries their hash, and docs/consumer.md has a verifier.",
        "수신 측에서 메시지만으로 검증: 각 데이터 증빙에 해시가 있으며, 검증 프로그램은 docs/consumer.md 에 있습니다.",
    ),
    "over": ("over", "종료됨"),
    "why": ("Why", "원인 분석"),
    "score of": ("Score {}, threshold {}", "점수 {}, 임계값 {}"),
    "model of": ("model {} {}", "모델 {} {}"),
    "part in it": ("Part in it", "기여도"),
    "expected": ("expected", "기대값"),
    "expected value": ("Expected", "기대값"),
    "no proof": (
        "Correlated tags share a part; it is no proof of cause. Computed again, bit for bit: edge-gateway explain {}",
        "상관된 태그는 기여도를 나누어 가지며, 인과의 증명은 아닙니다. 비트 단위 재계산: edge-gateway explain {}",
    ),
    "no window": (
        "Its window is not kept, or the model that says which curve is which is no longer there.",
        "윈도우가 보관되어 있지 않거나, 곡선의 태그를 알려주는 모델 파일이 없습니다.",
    ),
    "window": ("What it was found in", "판정에 사용된 윈도우"),
    "further tags": ("{} further tags had smaller parts", "기여도가 더 작은 태그 {}개는 생략"),
    "curve in words": ("{}: from {} to {}, last {}", "{}: 최소 {}, 최대 {}, 마지막 {}"),
    "similar": ("The last ones like it, and what was done then", "최근의 유사 사례와 당시 조치"),
    "none similar": (
        "None is kept in which the same tags stood out.",
        "같은 태그가 두드러진 사례가 보관되어 있지 않습니다.",
    ),
    "alike": ("{} % alike", "유사도 {} %"),
    "nothing done": ("The audit trail tells of nothing that was done.", "감사 기록에 남은 조치가 없습니다."),
    "did shelve": ("shelved", "보류함"),
    "around": ("Within ten minutes", "전후 10분"),
    "none around": ("Nothing else within ten minutes.", "전후 10분 동안 다른 이벤트가 없습니다."),
    "time": ("Time", "시각"),
    "severity": ("Severity", "심각도"),
    "message": ("Message", "내용"),
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
