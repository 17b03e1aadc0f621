"""Tests of the engine's settings."""

from __future__ import annotations

from balancer_crs.lang.errors import RuleError
from balancer_crs.lang.parsing import parse_string
from twisted.trial.unittest import SynchronousTestCase


class SettingTests(SynchronousTestCase):
    def test_all(self) -> None:
        """Each directive sets what it names, however it is spelt."""
        found = parse_string(
            """
            SecRuleEngine detectiononly
            SecRequestBodyAccess On
            SecRequestBodyLimit 1000
            SecRequestBodyNoFilesLimit 500
            SecRequestBodyLimitAction ProcessPartial
            SecRequestBodyJsonDepthLimit 20
            SecArgumentsLimit 50
            SecResponseBodyAccess on
            SecResponseBodyMimeTypesClear
            SecResponseBodyMimeType text/HTML application/json
            SecResponseBodyLimit 2000
            SecResponseBodyLimitAction Reject
            SecUploadFileLimit 3
            SECARGUMENTSEPARATOR ";"
            SecCookieFormat 1
            SecCollectionTimeout 600
            SecComponentSignature "a"
            SecComponentSignature "b"
            SecAuditEngine Off
            SecAuditLogParts ABZ
            SecAuditLogRelevantStatus "^5"
            SecServerSignature x
            SecWebAppId y
            SecXmlExternalEntity Off
            """
        ).settings
        self.assertEqual(found.rule_engine, "DetectionOnly")
        self.assertEqual((found.request_body_limit, found.request_body_no_files_limit), (1000, 500))
        self.assertEqual((found.request_body_limit_action, found.request_body_json_depth_limit), ("ProcessPartial", 20))
        self.assertEqual((found.arguments_limit, found.upload_file_limit), (50, 3))
        self.assertTrue(found.response_body_access)
        self.assertEqual(found.response_body_mime_types, ("text/html", "application/json"))
        self.assertEqual((found.response_body_limit, found.response_body_limit_action), (2000, "Reject"))
        self.assertEqual((found.argument_separator, found.cookie_format, found.collection_timeout), (";", 1, 600))
        self.assertEqual(found.component_signatures, ("a", "b"))
        self.assertEqual(
            (found.audit_engine, found.audit_log_parts, found.audit_log_relevant_status), ("Off", "ABZ", "^5")
        )
        self.assertEqual((found.server_signature, found.web_app_id), ("x", "y"))

    def test_not_heeded(self) -> None:
        """What means nothing here is told, with its place, and stops nothing."""
        [note] = parse_string("\nSecDebugLogLevel 3").notes
        self.assertRegex(str(note), "^<string>:2: SecDebugLogLevel is not heeded: where and how")

    def test_refused(self) -> None:
        """Values that are none."""
        for text, reason in (
            ("SecRuleEngine Perhaps", "expected SecRuleEngine On, Off, DetectionOnly, not 'Perhaps'"),
            ("SecRequestBodyLimit many", "a number"),
            ("SecRequestBodyLimit 99999999999", "at most"),
            ("SecRequestBodyLimit", "expected one value"),
            ("SecArgumentSeparator ab", "expected one character"),
            ("SecResponseBodyMimeType", "expected media types"),
            ("SecXmlExternalEntity On", "not supported but Off"),
            ("SecRemoteRules k https://example.org/", "rules are read from files"),
        ):
            self.assertRaisesRegex(RuleError, f"^<string>:1: .*{reason}", parse_string, text)
