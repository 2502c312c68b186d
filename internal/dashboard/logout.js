
// A button that ends the session.
document.addEventListener("DOMContentLoaded", () => {
  const button = document.createElement("button");
  button.textContent = "Log out";
  Object.assign(button.style, { position: "fixed", bottom: "8px", right: "8px", zIndex: "9998", padding: "4px 12px" });
  button.addEventListener("click", () => fetch(kycqRoot + "logout", { method: "POST" }).finally(() => location.reload()));
  document.body.append(button);
});
