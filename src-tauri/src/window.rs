//! The one window.

use tauri::{AppHandle, Manager, WebviewUrl, WebviewWindowBuilder};

const LABEL: &str = "main";

/// Opens the window. Its title follows the page's, so that the environment is always named in it.
pub fn open(app: &AppHandle) -> tauri::Result<()> {
    WebviewWindowBuilder::new(app, LABEL, WebviewUrl::default())
        .title("Shadow Sync")
        .inner_size(1280.0, 820.0)
        .min_inner_size(900.0, 600.0)
        .on_navigation(is_ours)
        .on_document_title_changed(|window, title| {
            let _ = window.set_title(&title);
        })
        .build()?;
    Ok(())
}

/// Brings the window to the front: the console was started a second time.
pub fn show(app: &AppHandle) {
    if let Some(window) = app.get_webview_window(LABEL) {
        let _ = window.unminimize();
        let _ = window.show();
        let _ = window.set_focus();
    }
}

/// The window shows the console and nothing else; other addresses belong into the browser.
fn is_ours(url: &url::Url) -> bool {
    match url.scheme() {
        "tauri" | "about" => true,
        "http" | "https" => {
            url.host_str() == Some("tauri.localhost")
                || (cfg!(debug_assertions) && url.host_str() == Some("127.0.0.1") && url.port() == Some(5173))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_goes_nowhere_else() {
        let goes = |text: &str| is_ours(&text.parse().expect("a URL"));
        assert!(goes("tauri://localhost/index.html"));
        assert!(goes("http://tauri.localhost/"));
        assert!(!goes("https://login.salesforce.com/"));
        assert!(!goes("http://127.0.0.1:8717/oauth/callback"));
        assert!(!goes("file:///etc/passwd"));
    }
}
