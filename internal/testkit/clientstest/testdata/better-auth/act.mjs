// Does what users, admins and members can do, once each or more.
import { accounts } from "./accounts.mjs";
import { requireEveryAction } from "./actions.mjs";
import { auth, mail } from "./auth.mjs";
import { browser, call, password, signUp } from "./browser.mjs";

// Users, by themselves.
const ada = await signUp("Ada", { username: "Ada_L" });
const eve = await signUp("Eve");
const bob = await signUp("Bob");
const gone = await signUp("Gone");
await ada.call("/update-user", { name: "Augusta King", image: "https://images.example.com/ada.png" });
await ada.call("/change-email", { newEmail: "augusta@example.com" });
await ada.call("/send-verification-email", { email: "augusta@example.com" });
await ada.call(`/verify-email?token=${mail.get("augusta@example.com")}`);
await bob.call("/two-factor/enable", { password });
await gone.call("/delete-user", { password });

// By the other ways in.
const visitor = browser();
await visitor("/sign-in/anonymous", {});
await visitor("/sign-up/email", { email: "visitor@example.com", password, name: "Visitor" }); // the anonymous user goes
const otp = browser();
await otp("/email-otp/send-verification-otp", { email: "otp@example.com", type: "sign-in" });
await otp("/sign-in/email-otp", { email: "otp@example.com", otp: mail.get("otp@example.com") });
const magic = browser();
await magic("/sign-in/magic-link", { email: "magic@example.com", name: "Magic" });
await magic(`/magic-link/verify?token=${mail.get("magic@example.com")}`);
const phone = browser();
await phone("/phone-number/send-otp", { phoneNumber: "+431234567" });
await phone("/phone-number/verify", { phoneNumber: "+431234567", code: mail.get("+431234567") });

// By an admin, whom a write makes one that no hook sees.
const { adapter } = await auth.$context;
await adapter.update({ model: "user", where: [{ field: "id", value: ada.id }], update: { role: "admin" } });
const root = browser();
await root("/sign-in/email", { email: "augusta@example.com", password });
const { user: made } = await root("/admin/create-user", { email: "made@example.com", password, name: "Made", role: "user" });
const { user: removed } = await root("/admin/create-user", { email: "removed@example.com", password, name: "Removed" });
await root("/admin/set-role", { userId: made.id, role: ["user", "admin"] });
await root("/admin/update-user", { userId: made.id, data: { name: "Made Anew" } });
await root("/admin/ban-user", { userId: bob.id, banReason: "a reason", banExpiresIn: 3600 });
await root("/admin/ban-user", { userId: made.id });
await root("/admin/unban-user", { userId: made.id });
await root("/admin/remove-user", { userId: removed.id });
await root("/admin/unban-user", { userId: bob.id });
await adapter.updateMany({ model: "user", where: [{ field: "email", operator: "in", value: ["otp@example.com", "magic@example.com"] }], update: { name: "Both" } });

// Organizations.
const { id: harbour } = await root("/organization/create", { name: "Harbour Works", slug: "harbour-works", metadata: { tier: 1 } });
const { id: mill } = await root("/organization/create", { name: "Mill", slug: "mill" });
const { id: left } = await root("/organization/create", { name: "Left", slug: "left" });
await root("/organization/update", { organizationId: harbour, data: { name: "Harbour Works & Sons", logo: "https://images.example.com/h.png" } });
const invite = (email, organizationId = harbour, more = {}) =>
  root("/organization/invite-member", { organizationId, email, role: "member", ...more });
const invitations = {};
for (const { email } of [eve, { email: "made@example.com" }, { email: "nobody@example.com" }, { email: "visitor@example.com" }]) {
  invitations[email] = (await invite(email)).id;
}
await invite("nobody@example.com", harbour, { resend: true });
await root("/organization/cancel-invitation", { invitationId: invitations["nobody@example.com"] });
await visitor("/organization/reject-invitation", { invitationId: invitations["visitor@example.com"] });
const { member } = await eve.call("/organization/accept-invitation", { invitationId: invitations[eve.email] });
await root("/organization/update-member-role", { organizationId: harbour, memberId: member.id, role: ["member", "admin"] });
const added = (organizationId, userId, role) => call("addMember", { organizationId, userId, role });
const bobs = await added(harbour, bob.id, "member");
await added(left, bob.id, "owner");
await added(mill, made.id, "member");
await root("/organization/remove-member", { organizationId: harbour, memberIdOrEmail: bobs.id });
await added(harbour, bob.id, ["admin", "member"]); // the same membership, in a new row
const back = browser();
await back("/sign-in/email", { email: "bob@example.com", password }).catch(() => {}); // asks for a second factor
await eve.call("/organization/leave", { organizationId: harbour });
const { id: team } = await root("/organization/create-team", { organizationId: harbour, name: "Crew" });
await root("/organization/remove-team", { organizationId: harbour, teamId: team });

// What foreign keys take along: a user with a membership who has invited somebody, and an organization.
await added(left, made.id, "owner");
const maker = browser();
await maker("/sign-in/email", { email: "made@example.com", password });
await maker("/organization/invite-member", { organizationId: left, email: "orphan@example.com", role: "member" });
await root("/admin/remove-user", { userId: made.id });
await invite("left@example.com", mill);
await root("/organization/delete", { organizationId: mill });

await accounts(root, harbour);
await eve.call("/sign-out", {});
await root("/admin/revoke-user-sessions", { userId: bob.id });
requireEveryAction();
process.stdout.write("done\n", () => process.exit(0));
