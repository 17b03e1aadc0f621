"""What goes before every rule set: what ModSecurity leaves to the configuration that comes with it. Files that say otherwise win.

The Core Rule Set counts on them: a body that cannot be read has no arguments, and rules that look at arguments see nothing of it.
Ids are those that ModSecurity's own configuration gives them, so that exclusions written for it hold.
"""

from __future__ import annotations

__all__ = ["RULES"]

RULES = r"""
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html text/xml application/json
SecRule REQBODY_ERROR "!@eq 0" \
    "id:200002,phase:2,t:none,log,deny,status:400,msg:'The request body cannot be read',logdata:'%{REQBODY_ERROR_MSG}',severity:2"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" \
    "id:200003,phase:2,t:none,log,deny,status:400,msg:'The multipart body is not as strict as it should be',severity:2"
SecRule MULTIPART_UNMATCHED_BOUNDARY "@eq 1" \
    "id:200004,phase:2,t:none,log,deny,status:400,msg:'A line of the multipart body looks like a boundary and is none',severity:2"
"""
