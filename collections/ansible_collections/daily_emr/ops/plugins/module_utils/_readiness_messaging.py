# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: controls of mail. May change without notice.

"""Word to people: mail can be sent, from the second Region too."""

from __future__ import annotations

from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import Look, Registry, Seen, seen

AREA = Registry("messaging")
check = AREA.check


@check(
    "sender",
    "Sender of mail",
    "the domain may send, with DKIM, from the data Region and from that of the copies",
    calls=("sesv2:GetEmailIdentity",),
)
def sender(look: Look) -> Seen:
    states = {}
    for region in (look.region, look.names["copy_region"]):
        found = look.read("sesv2:GetEmailIdentity", region=region, EmailIdentity=look.names["domain"])
        states[region] = found["VerifiedForSendingStatus"] and found["DkimAttributes"]["Status"] == "SUCCESS"
    return seen(all(states.values()), verified=states)


@check(
    "out_of_sandbox",
    "Mail to everybody",
    "SES may send to any address, from the data Region and from that of the copies",
    calls=("sesv2:GetAccount",),
)
def out_of_sandbox(look: Look) -> Seen:
    states = {}
    for region in (look.region, look.names["copy_region"]):
        found = look.read("sesv2:GetAccount", region=region)
        states[region] = found["ProductionAccessEnabled"] and found["SendingEnabled"]
    return seen(all(states.values()), sending=states)
