"""Why packets give no segment, in words.

Sources: the tcpdump group's registry of link types (draft-ietf-opsawg-pcaplinktype); IANA's registries of protocol
numbers, of EtherTypes and of PPP numbers; IEEE's of LLC service access points.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

__all__ = ["DAMAGED", "FRAGMENTS", "TOO_DEEP", "Skipped", "reason", "skipped"]


class Skipped(NamedTuple):
    """Why a packet gives no segment."""

    value: str
    """A clause that follows "1,204 packets"."""


DAMAGED: Final = Skipped("with cut or damaged headers")
FRAGMENTS: Final = Skipped("in IP fragments that do not make a datagram")
TOO_DEEP: Final = Skipped("with too many headers inside each other")


@cache  # of the few that the layers have
def reason(clause: str) -> Skipped:
    """Return the reason in these words, always the same object."""
    return Skipped(clause)


def skipped(kind: str, value: int) -> Skipped:
    """Return the reason of a packet in which a number, of this kind, says that something follows that is not read.

    Numbers beyond 16 bits that have no name share a reason, so that there are never more reasons than can be kept.
    """
    return _skipped(kind, value if value <= _LARGEST or value in _NAMES.get(kind, {}) else None)


_LARGEST: Final = 0xFFFF


@cache
def _skipped(kind: str, value: int | None) -> Skipped:
    if value is None:
        return Skipped(f"of an unknown {kind}")
    name = _NAMES.get(kind, {}).get(value)
    if kind == "link type":  # which says little without its number
        return Skipped(f"of link type {value} ({name})" if name else f"of link type {value}")
    if name:
        return Skipped(f"of {name}")
    digits = _HEXADECIMAL.get(kind)
    return Skipped(f"of {kind} 0x{value:0{digits}x}" if digits else f"of {kind} {value}")


def _numbered(names: str) -> dict[int, str]:
    words = iter(names.split())
    return {int(number): name for number, name in zip(words, words, strict=True)}


_HEXADECIMAL: Final = {"EtherType": 4, "PPP protocol": 4, "SNAP organization": 6}

_LINK_TYPES: Final = """
0 NULL 1 ETHERNET 2 EXP_ETHERNET 3 AX25 4 PRONET 5 CHAOS 6 IEEE802_5 7 ARCNET_BSD 8 SLIP 9 PPP 10 FDDI 50 PPP_HDLC
51 PPP_ETHER 99 SYMANTEC_FIREWALL 100 ATM_RFC1483 101 RAW 102 SLIP_BSDOS 103 PPP_BSDOS 104 C_HDLC 105 IEEE802_11
106 ATM_CLIP 107 FRELAY 108 LOOP 109 ENC 110 LANE8023 111 HIPPI 112 HDLC 113 LINUX_SLL 114 LTALK 115 ECONET 116 IPFILTER
117 PFLOG 118 CISCO_IOS 119 IEEE802_11_PRISM 120 IEEE802_11_AIRONET 121 HHDLC 122 IP_OVER_FC 123 SUNATM 124 RIO
125 PCI_EXP 126 AURORA 127 IEEE802_11_RADIOTAP 128 TZSP 129 ARCNET_LINUX 130 JUNIPER_MLPPP 131 JUNIPER_MLFR
132 JUNIPER_ES 133 JUNIPER_GGSN 134 JUNIPER_MFR 135 JUNIPER_ATM2 136 JUNIPER_SERVICES 137 JUNIPER_ATM1
138 APPLE_IP_OVER_IEEE1394 139 MTP2_WITH_PHDR 140 MTP2 141 MTP3 142 SCCP 143 DOCSIS 144 LINUX_IRDA 145 IBM_SP 146 IBM_SN
163 IEEE802_11_AVS 164 JUNIPER_MONITOR 165 BACNET_MS_TP 166 PPP_PPPD 167 JUNIPER_PPPOE 168 JUNIPER_PPPOE_ATM
169 GPRS_LLC 170 GPF_T 171 GPF_F 172 GCOM_T1E1 173 GCOM_SERIAL 174 JUNIPER_PIC_PEER 175 ERF_ETH 176 ERF_POS
177 LINUX_LAPD 178 JUNIPER_ETHER 179 JUNIPER_PPP 180 JUNIPER_FRELAY 181 JUNIPER_CHDLC 182 MFR 183 JUNIPER_VP 184 A429
185 A653_ICM 186 USB_FREEBSD 187 BLUETOOTH_HCI_H4 188 IEEE802_16_MAC_CPS 189 USB_LINUX 190 CAN20B 191 IEEE802_15_4_LINUX
192 PPI 193 IEEE802_16_MAC_CPS_RADIO 194 JUNIPER_ISM 195 IEEE802_15_4_WITHFCS 196 SITA 197 ERF 198 RAIF1
199 IPMB_KONTRON 200 JUNIPER_ST 201 BLUETOOTH_HCI_H4_WITH_PHDR 202 AX25_KISS 203 LAPD 204 PPP_WITH_DIR
205 C_HDLC_WITH_DIR 206 FRELAY_WITH_DIR 207 LAPB_WITH_DIR 209 I2C_LINUX 210 FLEXRAY 211 MOST 212 LIN 213 X2E_SERIAL
214 X2E_XORAYA 215 IEEE802_15_4_NONASK_PHY 216 LINUX_EVDEV 217 GSMTAP_UM 218 GSMTAP_ABIS 219 MPLS 220 USB_LINUX_MMAPPED
221 DECT 222 AOS 223 WIHART 224 FC_2 225 FC_2_WITH_FRAME_DELIMS 226 IPNET 227 CAN_SOCKETCAN 228 IPV4 229 IPV6
230 IEEE802_15_4_NOFCS 231 DBUS 232 JUNIPER_VS 233 JUNIPER_SRX_E2E 234 JUNIPER_FIBRECHANNEL 235 DVB_CI 236 MUX27010
237 STANAG_5066_D_PDU 238 JUNIPER_ATM_CEMIC 239 NFLOG 240 NETANALYZER 241 NETANALYZER_TRANSPARENT 242 IPOIB
243 MPEG_2_TS 244 NG40 245 NFC_LLCP 246 PFSYNC 247 INFINIBAND 248 SCTP 249 USBPCAP 250 RTAC_SERIAL 251 BLUETOOTH_LE_LL
252 WIRESHARK_UPPER_PDU 253 NETLINK 254 BLUETOOTH_LINUX_MONITOR 255 BLUETOOTH_BREDR_BB 256 BLUETOOTH_LE_LL_WITH_PHDR
257 PROFIBUS_DL 258 PKTAP 259 EPON 260 IPMI_HPM_2 261 ZWAVE_R1_R2 262 ZWAVE_R3 263 WATTSTOPPER_DLM 264 ISO_14443 265 RDS
266 USB_DARWIN 267 OPENFLOW 268 SDLC 269 TI_LLN_SNIFFER 270 LORATAP 271 VSOCK 272 NORDIC_BLE 273 DOCSIS31_XRA31
274 ETHERNET_MPACKET 275 DISPLAYPORT_AUX 276 LINUX_SLL2 277 SERCOS_MONITOR 278 OPENVIZSLA 279 EBHSCR 280 VPP_DISPATCH
281 DSA_TAG_BRCM 282 DSA_TAG_BRCM_PREPEND 283 IEEE802_15_4_TAP 284 DSA_TAG_DSA 285 DSA_TAG_EDSA 286 ELEE
287 Z_WAVE_SERIAL 288 USB_2_0 289 ATSC_ALP 290 ETW 291 NETANALYZER_NG 292 ZBOSS_NCP 293 USB_2_0_LOW_SPEED
294 USB_2_0_FULL_SPEED 295 USB_2_0_HIGH_SPEED 296 AUERSWALD_LOG 297 ZWAVE_TAP 298 SILABS_DEBUG_CHANNEL 299 FIRA_UCI
300 MDB 301 DECT_NR
"""

_PROTOCOLS: Final = """
1 ICMP 2 IGMP 3 GGP 5 ST 7 CBT 8 EGP 9 IGP 12 PUP 17 UDP 20 HMP 22 XNS-IDP 27 RDP 28 IRTP 29 ISO-TP4 33 DCCP 36 XTP 37
DDP 38 IDPR-CMTP 45 IDRP 46 RSVP 48 DSR 49 BNA 50 ESP 54 NARP 55 Min-IPv4 57 SKIP 58 ICMPv6 66 RVD 73 CPHB 81 VMTP 85
NSFNET-IGP 88 EIGRP 89 OSPF 92 MTP 93 AX.25 98 ENCAP 103 PIM 108 IPComp 112 VRRP 113 PGM 115 L2TP 124
ISIS-over-IPv4 132 SCTP 133 FC 134 RSVP-E2E-IGNORE 136 UDPLite 138 manet 141 WESP 142 ROHC 144 AGGFRAG
"""

_NAMES: Final[dict[str, dict[int, str]]] = {
    "link type": _numbered(_LINK_TYPES),
    "IP protocol": {**_numbered(_PROTOCOLS), 59: "IPv6 without a payload"},
    "EtherType": {
        0x0806: "ARP",
        0x8035: "RARP",
        0x809B: "AppleTalk",
        0x80F3: "AppleTalk ARP",
        0x8137: "IPX",
        0x0842: "Wake-on-LAN",
        0x22F0: "AVTP",
        0x22F3: "TRILL",
        0x22F4: "IS-IS",
        0x6002: "DEC MOP",
        0x6003: "DECnet",
        0x8808: "Ethernet flow control",
        0x8809: "slow protocols (LACP)",
        0x8863: "PPPoE discovery",
        0x888E: "EAPOL",
        0x8892: "PROFINET",
        0x889A: "HyperSCSI",
        0x88A2: "ATA over Ethernet",
        0x88A4: "EtherCAT",
        0x88B8: "GOOSE",
        0x88BA: "IEC 61850 sampled values",
        0x88CC: "LLDP",
        0x88E1: "HomePlug",
        0x88E5: "MACsec",
        0x88F5: "MVRP",
        0x88F7: "PTP",
        0x88FB: "PRP",
        0x8902: "CFM",
        0x8906: "FCoE",
        0x8914: "FCoE initialization",
        0x8915: "RoCE",
        0x8899: "Realtek's protocols",
        0x9000: "Ethernet loopback",
    },
    "PPP protocol": {
        0x002D: "Van Jacobson compressed TCP",
        0x002F: "Van Jacobson uncompressed TCP",
        0x003D: "PPP Multilink",
        0x00FD: "compressed PPP",
        0x8021: "PPP IPCP",
        0x8057: "PPP IPV6CP",
        0x80FD: "PPP CCP",
        0xC021: "PPP LCP",
        0xC023: "PPP PAP",
        0xC025: "PPP link quality reports",
        0xC223: "PPP CHAP",
        0xC227: "PPP EAP",
    },
    "LLC service access point": {0x42: "spanning tree", 0xE0: "IPX", 0xF0: "NetBIOS", 0xFF: "IPX without LLC"},
    "SNAP organization": {0x00000C: "Cisco's SNAP (CDP and the like)", 0x080007: "AppleTalk"},
    "NLPID": {0x81: "CLNP", 0x82: "ES-IS", 0x83: "IS-IS"},
}
