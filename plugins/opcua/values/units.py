"""Units of measurement by their UNECE codes (Recommendation 20; OPC 10000-8 §5.6.3), as the gateway writes them."""

from asyncua import ua

from gateway.plugin import cleaned

UNECE = "http://www.opcfoundation.org/UA/units/un/cefact"

_SYMBOLS = (
    "CEL °C;KEL K;FAH °F;P1 %;59 ppm;61 ppb;MTR m;CMT cm;MMT mm;4H µm;C45 nm;KMT km;INH in;FOT ft;MTK m²;"
    "CMK cm²;MMK mm²;MTQ m³;LTR l;MLT ml;4G µl;DMQ dm³;CMQ cm³;KGM kg;GRM g;MGM mg;MC µg;TNE t;LBR lb;"
    "SEC s;C26 ms;B98 µs;MIN min;HUR h;DAY d;PAL Pa;A97 hPa;KPA kPa;MPA MPa;BAR bar;MBR mbar;PS psi;NEW N;"
    "B47 kN;NU N·m;MTS m/s;C16 mm/s;KMH km/h;2X m/min;MSK m/s²;DD °;C81 rad;2A rad/s;2B rad/s²;E96 °/s;"
    "RPM 1/min;C94 1/min;M46 1/min;RPS 1/s;C97 1/s;HTZ Hz;KHZ kHz;MHZ MHz;AMP A;4K mA;B84 µA;VLT V;2Z mV;"
    "KVT kV;OHM Ω;B49 kΩ;SIE S;G42 µS/cm;D10 S/m;H61 mS/cm;WTT W;KWT kW;MAW MW;D46 VA;KVA kVA;JOU J;"
    "KJO kJ;WHR W·h;KWH kW·h;MWH MW·h;3B MJ;LUX lx;LUM lm;CDL cd;2N dB;Q30 pH;L2 l/min;MQH m³/h;MQS m³/s;"
    "LD l/d;41 ml/min;G51 l/s;E93 kg/h;KGS kg/s;F31 kg/min;KMQ kg/m³;GL g/l;M1 mg/l;GP mg/m³;23 g/cm³;"
    "C36 mol/m³;C38 mol/l;M33 mmol/l;C34 mol;D33 T;WEB Wb;FAR F;A87 GΩ;C65 Pa·s;C24 mPa·s;4C cSt;"
    "D74 kg/mol"
)
_BY_CODE = dict(each.split(" ") for each in _SYMBOLS.split(";"))


def code_of(unit: ua.EUInformation) -> str:
    """The UNECE code whose characters are the bytes of the unit's number; empty where it has none."""
    number = unit.UnitId
    if not isinstance(number, int) or not 0 < number < 1 << 31 or (unit.NamespaceUri or UNECE) != UNECE:
        return ""
    raw = number.to_bytes(4, "big").lstrip(b"\0")
    return raw.decode("ascii") if raw.isalnum() and raw.isascii() else ""


def named(unit: ua.EUInformation) -> str:
    """The unit as the server writes it, else by its code."""
    return cleaned(unit.DisplayName.Text or "", 100).strip() or ours(unit)


def ours(unit: ua.EUInformation) -> str:
    """The unit by its code, else as the server writes it."""
    known = _BY_CODE.get(code_of(unit), "")
    return known or cleaned(unit.DisplayName.Text or "", 100).strip()
