"""The development engine's configuration: only what conferences need, and only on loopback."""

from __future__ import annotations

import math
import struct
import wave
from pathlib import Path
from typing import Final

from attrs import field, frozen

#: The stasis application that the engine's dialplan hands incoming calls to.
APPLICATION: Final = "confkit"
USER: Final = "confkit"
#: What those on music on hold hear, in Hz.
HOLD_MUSIC: Final = 1900

_MODULES: Final = [
    "res_timing_timerfd",
    "codec_ulaw",
    "codec_alaw",
    "codec_gsm",
    "codec_resample",
    "format_wav",
    "format_pcm",
    "format_gsm",
    "format_sln",
    "res_sorcery_config",
    "res_sorcery_memory",
    "res_sorcery_astdb",
    "res_pjproject",
    "res_pjsip",
    "res_pjsip_session",
    "res_pjsip_sdp_rtp",
    "res_rtp_asterisk",
    "res_pjsip_caller_id",
    "res_pjsip_endpoint_identifier_ip",
    "res_pjsip_dtmf_info",
    "res_pjsip_rfc3326",
    "res_pjsip_pubsub",
    "chan_pjsip",
    "chan_bridge_media",
    "bridge_simple",
    "bridge_softmix",
    "bridge_holding",
    "bridge_builtin_features",
    "res_musiconhold",
    "func_channel",
    "func_callerid",
    "func_volume",
    "pbx_config",
    "res_http_websocket",
    "res_websocket_client",
    "res_stasis",
    "res_stasis_answer",
    "res_stasis_playback",
    "res_stasis_recording",
    "res_stasis_snoop",
    "res_stasis_device_state",
    "app_stasis",
    "res_ari_model",
    "res_ari",
    "res_ari_applications",
    "res_ari_asterisk",
    "res_ari_bridges",
    "res_ari_channels",
    "res_ari_device_states",
    "res_ari_endpoints",
    "res_ari_events",
    "res_ari_playbacks",
    "res_ari_recordings",
    "res_ari_sounds",
]

_ASTERISK: Final = """
[directories]
astcachedir => {run}/cache
astetcdir => {run}/etc
astmoddir => {modules}
astvarlibdir => {run}/lib
astdbdir => {run}/lib
astkeydir => {run}/lib
astdatadir => {root}/usr/share/asterisk
astagidir => {run}/agi
astspooldir => {run}/spool
astrundir => {run}/run
astlogdir => {run}/log
astsbindir => {root}/usr/sbin

[options]
nocolor = yes
dontwarn = yes
documentation_language = en_US
"""
_HTTP: Final = """
[general]
enabled = yes
bindaddr = 127.0.0.1
bindport = {http_port}
sessionlimit = 200
"""
_ARI: Final = """
[general]
enabled = yes
websocket_write_timeout = 1000

[{user}]
type = user
read_only = no
password = {password}
password_format = plain
"""
# One endpoint, like a trunk: it is told by its address, and any loopback URI can be dialled through it.
_PJSIP: Final = """
[global]
type = global
user_agent = confkit development engine

[transport-udp]
type = transport
protocol = udp
bind = 127.0.0.1:{sip_port}

[loop]
type = endpoint
transport = transport-udp
context = incoming
disallow = all
allow = ulaw
direct_media = no
rtp_symmetric = no
media_address = 127.0.0.1
bind_rtp_to_media_address = yes
dtmf_mode = rfc4733
from_domain = 127.0.0.1
identify_by = ip

[loop-identify]
type = identify
endpoint = loop
match = 127.0.0.1
"""
_EXTENSIONS: Final = """
[incoming]
exten => _[+0-9a-z].,1,Stasis({application},incoming)
 same => n,Hangup()
"""
_INDICATIONS: Final = """
[general]
country = us

[us]
description = US
ringcadence = 2000,4000
dial = 350+440
busy = 480+620/500,0/500
ring = 440+480/2000,0/4000
congestion = 480+620/250,0/250
"""
_EMPTY: Final = ("ccss", "cel", "features", "udptl")


@frozen(kw_only=True)
class Configuration:
    """What differs from one start to the next.

    Args:
        root: the unpacked packages.
        modules: the folder of Asterisk's modules.
        run: the folder of everything that this run writes.
    """

    root: Path
    modules: Path
    run: Path
    http_port: int
    sip_port: int
    password: str = field(repr=False)

    @property
    def main(self) -> Path:
        """The file that ``asterisk -C`` takes."""
        return self.run / "etc/asterisk.conf"

    def write(self) -> None:
        """Write all files."""
        for folder in ("etc", "lib", "agi", "spool/recording", "run", "log", "cache", "moh"):
            (self.run / folder).mkdir(parents=True, exist_ok=True)
        values = {
            "root": self.root,
            "modules": self.modules,
            "run": self.run,
            "http_port": self.http_port,
            "sip_port": self.sip_port,
            "user": USER,
            "password": self.password,
            "application": APPLICATION,
        }
        available = {path.stem for path in self.modules.glob("*.so")}
        wanted = [name for name in _MODULES if name in available]  # res_websocket_client came with version 22
        files = {
            "asterisk": _ASTERISK,
            "http": _HTTP,
            "ari": _ARI,
            "pjsip": _PJSIP,
            "extensions": _EXTENSIONS,
            "indications": _INDICATIONS,
            "modules": "[modules]\nautoload = no\n" + "".join(f"load = {name}.so\n" for name in wanted),
            "musiconhold": "[general]\n[default]\nmode = files\ndirectory = {run}/moh\n",
            "logger": "[general]\n[logfiles]\nmessages.log => notice,warning,error\n",
            "manager": "[general]\nenabled = no\n",
            "cdr": "[general]\nenable = no\n",
            "pjproject": "[startup]\ntype = startup\nlog_level = 2\n\n"
            "[log_mappings]\ntype = log_mappings\nasterisk_error = 0,1\nasterisk_warning = 2\n",
            # Ports in use are passed over, so two engines may share the range.
            "rtp": "[general]\nrtpstart = 20000\nrtpend = 29998\nicesupport = no\n",
            "acl": "",
            "websocket_client": "",
            **dict.fromkeys(_EMPTY, "[general]\n"),
        }
        for name, text in files.items():
            (self.run / f"etc/{name}.conf").write_text(text.format(**values).lstrip())
        write_tone(self.run / "moh/hold.wav", hz=HOLD_MUSIC, seconds=10)


def write_tone(path: Path, *, hz: int, seconds: float) -> None:
    """Write a sound file with one tone: 8 kHz, 16 bit, mono, which Asterisk plays without conversion."""
    samples = (int(9000 * math.sin(2 * math.pi * hz * n / 8000)) for n in range(int(8000 * seconds)))
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
