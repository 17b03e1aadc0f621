"""The OWASP Core Rule Set for balancer: rules in SecLang, run on linear-time matching."""
