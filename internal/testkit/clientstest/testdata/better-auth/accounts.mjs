// Does what users and admins can do to accounts and sessions, beside what act.mjs does.
import { mail } from "./auth.mjs";
import { browser, password, signUp } from "./browser.mjs";

export async function accounts(root, organizationId) {
  // Sessions begin and end.
  const fay = await signUp("Fay", { username: "fay" });
  const signIn = async (path = "/sign-in/username", body = { username: "fay" }) => {
    const call = browser();
    return { call, ...(await call(path, { ...body, password })) };
  };
  await signIn();
  await fay.call("/update-session", { device: "a laptop" });
  await fay.call("/change-password", { currentPassword: password, newPassword: "for a moment", revokeOtherSessions: true });
  await browser()("/request-password-reset", { email: fay.email });
  await browser()("/reset-password", { token: mail.get(fay.email), newPassword: password }); // ends all sessions
  const [own, other] = [await signIn(), await signIn(), await signIn()];
  await own.call("/revoke-session", { token: other.token });
  await own.call("/revoke-other-sessions", {});
  await own.call("/revoke-sessions", {});

  // One-time passwords.
  const { call } = await signIn();
  await call("/email-otp/send-verification-otp", { email: fay.email, type: "email-verification" });
  await call("/email-otp/verify-email", { email: fay.email, otp: mail.get(fay.email) });
  await call("/email-otp/request-email-change", { newEmail: "faye@example.com" });
  await call("/email-otp/change-email", { newEmail: "faye@example.com", otp: mail.get("faye@example.com") });
  await call("/email-otp/request-password-reset", { email: "faye@example.com" });
  await call("/email-otp/reset-password", { email: "faye@example.com", otp: mail.get("faye@example.com"), password });
  const phoneNumber = "+437654321";
  const again = await signIn();
  await again.call("/phone-number/send-otp", { phoneNumber });
  await again.call("/phone-number/verify", { phoneNumber, code: mail.get(phoneNumber), updatePhoneNumber: true });
  await signIn("/sign-in/phone-number", { phoneNumber });
  await again.call("/phone-number/request-password-reset", { phoneNumber });
  await again.call("/phone-number/reset-password", { phoneNumber, otp: mail.get(phoneNumber), newPassword: password });

  // A second factor.
  const tess = await signUp("Tess");
  const { backupCodes } = await tess.call("/two-factor/enable", { password });
  const { call: byBackup } = await signIn("/sign-in/email", { email: tess.email });
  await byBackup("/two-factor/verify-backup-code", { code: backupCodes[0] });
  const { call: byMail } = await signIn("/sign-in/email", { email: tess.email });
  await byMail("/two-factor/send-otp", {});
  await byMail("/two-factor/verify-otp", { code: mail.get(tess.email) });
  await byMail("/two-factor/generate-backup-codes", { password });
  await byMail("/two-factor/disable", { password });

  // Other providers.
  const social = browser();
  await social("/sign-in/social", { provider: "google", idToken: { token: "sue@example.com" } });
  await tess.call("/sign-in/email", { email: tess.email, password });
  await tess.call("/link-social", { provider: "google", idToken: { token: tess.email } });
  const linked = await tess.call("/list-accounts");
  await tess.call("/unlink-account", { accountId: linked.find(({ providerId }) => providerId === "google").id });
  const visitor = browser();
  await visitor("/sign-in/anonymous", {});
  await visitor("/delete-anonymous-user", {});

  // An admin, in the place of others and in an organization.
  await root("/admin/impersonate-user", { userId: fay.id });
  await root("/admin/stop-impersonating", {});
  await root("/admin/set-user-password", { userId: fay.id, newPassword: password });
  await root("/admin/revoke-user-session", { sessionToken: (await signIn()).token });
  await root("/organization/set-active", { organizationId });
  const { id: teamId } = await root("/organization/create-team", { organizationId, name: "Watch" });
  const userId = (await root("/get-session")).user.id;
  await root("/organization/update-team", { teamId, data: { name: "Night Watch" } });
  await root("/organization/add-team-member", { teamId, userId });
  await root("/organization/set-active-team", { teamId });
  await root("/organization/remove-team-member", { teamId, userId });
}
